"""One object in one image: prompts from one annotated reference (P2SAM, PerSAM), or none at all (direct)."""
