"""Workers in the actors of a Ray cluster: the only place that knows Ray.

==================  ==================================================================================================
``actor.py``        what runs in the cluster: a loop in a thread, a method for what comes in, a stream of what goes out
``record.py``       what an actor was doing when it died: written there, read here
``courier.py``      one thread that talks to Ray: starts actors, brings messages, reports deaths
``actors.py``       who of them works for whom; in the hub thread
``pool.py``         the pool of one parallel stage
``cluster.py``      which cluster it is, and its end
==================  ==================================================================================================
"""
