"""Neural parts that the graph routers share: training, networks; every module imports torch when used."""
