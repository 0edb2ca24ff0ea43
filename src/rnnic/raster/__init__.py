"""The published method: strings of differences, coded as indices of palette entries near to them."""
