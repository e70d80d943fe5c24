"""Very many sounds transcribed in parts by workers of Ray, each part exactly once."""
