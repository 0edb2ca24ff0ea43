"""RNNIC in other libraries; each module is named after the one it serves."""
