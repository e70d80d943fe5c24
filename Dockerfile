# Two images: `docker build -t asr-seq2seq .` is light (recognition, without PyTorch), and
# `docker build --target train -t asr-seq2seq:train .` trains too. docs/containers.md says how they are used.
# `--build-arg EXTRAS=serve` gives the light one further extras, with commas between.

FROM python:3.12-slim AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY asr_seq2seq asr_seq2seq
COPY configs configs
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim AS user
RUN useradd --create-home --uid 10001 asr && mkdir /work && chown asr /work
WORKDIR /work
ENTRYPOINT ["asr-seq2seq"]
CMD ["--help"]

FROM user AS train
# What is installed is the wheel of the stage before.
# hadolint ignore=DL3013
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    wheel=$(echo /wheels/*.whl) && pip install --no-cache-dir "${wheel}[train,report]"
USER 10001

FROM user AS light
ARG EXTRAS=""
# What is installed is the wheel of the stage before.
# hadolint ignore=DL3013
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    wheel=$(echo /wheels/*.whl) && pip install --no-cache-dir "${wheel}${EXTRAS:+[$EXTRAS]}"
USER 10001
