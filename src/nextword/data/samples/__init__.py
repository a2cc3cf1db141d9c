"""Token shards to samples: splits, packing, order."""
