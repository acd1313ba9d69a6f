"""Database migrations of the indexer."""
