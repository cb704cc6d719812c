"""An existing cluster and tailnet, as a site: what scenarios see there, and what only others could see."""
