import chain_a
