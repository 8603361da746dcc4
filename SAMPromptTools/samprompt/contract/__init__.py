"""What a panel may import: errors, parameter dataclasses and the catalogue reader; standard library only."""
