import time
from tests.support.world import *
def test_one(world):
    t=time.time()
    world.plant("listed-0","innocent")
    told=world.scan()
    print(told, time.time()-t)
    assert told.code==10
    print(told.summary)
    print(world.scan("--quarantine").of("action"), world.cases(), world.pending())
