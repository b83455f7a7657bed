"""High-quality sets: curated corpora in, per source the documents that resemble a varied seed of good ones out."""
