"""Adapting a promptable model to one's own images: LoRA or full fine-tune (methods page, section 1.4)."""
