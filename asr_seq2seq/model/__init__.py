"""The network: encoder, context, decoder, and their union."""
