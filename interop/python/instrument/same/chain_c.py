import chain_d
