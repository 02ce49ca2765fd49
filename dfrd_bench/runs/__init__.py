"""The life of a run: asked for, prepared, trained, measured, recorded; and what is done to a finished one."""
