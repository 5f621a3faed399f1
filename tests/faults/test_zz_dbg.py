import pytest, psycopg
from tests.faults.test_poison import *
from tests.faults.conftest import *
from tests.conftest import *
pytestmark=[]
async def test_dbg(database_url, settings):
        cause, operations = Cause(), Operations(database_url)
        settings = settings.model_copy(update={"saga_snapshot_events": 200})
        async with base(database_url, settings) as on:
            await write_down(on.store, unplaced_story(SEED, JOBS, jobs_to_come=JOBS_TO_COME))
            poisoned = [cause.in_saga(saga) for saga in SAGAS]
            await run_to_rest(on, on.runners(poisoned))
            a=await audit(database_url); print("phase1", a)
            cause.present = False
            await run_to_rest(on, on.runners(poisoned))
            a=await audit(database_url); print("phase2", a)
            for l in await letters(on):
                if l[0].startswith("place"): print(l)
            rs = on.runners(poisoned)
            async with consuming(on, rs) as consumers:
                for saga in SAGAS:
                    await operations.retry_dead_letters(saga.name)
                await until_letters(on, 0)
                await at_rest(on, consumers)
            a=await audit(database_url); print("phase3", a)
            for st in rs[0]._states.items():
                t,s=st
                print(t, [(j,p.status,p.node_id) for j,p in s.jobs.items() if p.status!="assigned"], [(n,r.cpu_milli,r.cpu_milli_free,r.closed,len([c for c in r.claims.values() if c.status!='held']), len(r.claims)) for n,r in s.nodes.items()])
            print(await on.store.head())
            async with await psycopg.AsyncConnection.connect(database_url) as c:
                for row in await (await c.execute("select tenant_id, stream_id, count(*) filter (where type='node.reserved') , count(*) filter (where type='node.reservation_refused'), count(*) filter (where type='node.released') from event where stream_id like 'node-%' group by 1,2 order by 1,2")).fetchall(): print(row)
