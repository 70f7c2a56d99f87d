"""BERT in ten short chapters for the terminal, from two tokens by hand to the compiled kernels.

`bge learn` and `python -m engine.lesson` show them. Nothing is imported here: with -m this file
runs while the working directory is still searched for modules.
"""
