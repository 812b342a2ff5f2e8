"""Grading by pytest; see README.md."""
