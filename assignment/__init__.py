"""Gaussian models of images whose precision is a lattice, and their estimation without the normalising constant."""
