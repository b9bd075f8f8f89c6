"""The runner: carries out leased jobs on Ray: collect, train, evaluate."""
