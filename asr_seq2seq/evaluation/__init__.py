"""How good is it: error rates of hypotheses against references, from text alone."""
