"""Keras models as PyTorch modules: one module per Keras layer, under the layer's name, around the same weights.

Keras runs with the backend that the user chose, torch or TensorFlow; importing this package imports neither.
"""
