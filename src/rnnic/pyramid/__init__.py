"""Method ``pyramid``: a palette of differences over a binary pyramid."""
