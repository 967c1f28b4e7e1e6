"""From records to batches: samplers, sources and the batched augmentation."""
