import chain_c
