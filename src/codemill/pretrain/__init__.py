"""The mixture: curated corpora in, packed shards for every phase and stage of a training run out."""
