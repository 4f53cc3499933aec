"""The pure core: what is true, what follows, and the port to the world. No clock, environment, client or chance."""
