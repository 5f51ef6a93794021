"""Working miniatures of the other families of generative models, all with one face."""
