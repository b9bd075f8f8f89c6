"""A Delta Sharing server over projections: tables that pandas, Polars and Spark read with their own clients."""
