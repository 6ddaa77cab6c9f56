"""Floor 3: one file per router. Routers execute nothing and open no database."""
