"""From sound to text with a model: the one road that transcription, evaluation and dev scoring take."""
