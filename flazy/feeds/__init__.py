"""Feeds: a dataset as what a framework takes.

==========  ==============================================================
passes      the passes of a feed, the first of which begins with a look
tensors     samples to tensors of PyTorch
copies      their way to a device
emptied     samples of PyTorch datasets on their way from workers
fetched     what workers do for ``flazy.torch.loader``
torch       ``dataset.torch()``: an ``IterableDataset``
replicas    its copies in the workers of a ``DataLoader``
jax         ``dataset.jax()``: pytrees of ``jax.Array``
signatures  samples to what TensorFlow takes
tensorflow  ``dataset.tensorflow()``: a ``tf.data.Dataset``
keras       ``dataset.keras()``: a ``PyDataset`` for ``model.fit``
==========  ==============================================================

A feed knows runs and samples, not plans; its framework is imported when the feed is first asked for.
"""
