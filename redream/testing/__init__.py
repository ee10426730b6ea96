"""Contracts of the interfaces as tests: inherit one, say how to make yours, and run pytest.

For instance, in a plugin's tests::

    from redream.testing.priors import PriorContract


    class TestMyPrior(PriorContract):
        def make_prior(self):
            return MyPrior()
"""
