"""What a process says of itself on /metrics."""

import httpx
from prometheus_client.parser import text_string_to_metric_families


async def samples(url: str, name: str) -> dict[str, float]:
    """The samples of one metric, by the value of its label (empty: it has none)."""
    async with httpx.AsyncClient(trust_env=False) as http:
        text = (await http.get(url + "/metrics")).text
    return {
        next(iter(sample.labels.values()), ""): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }
