import pytest

from benchmark.cases.requests import understood
from benchmark.figure import MeasureError

SAID = """Running 1h test @ http://127.0.0.1:1/
  1 threads and 50 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.04ms  102.50us  13.44ms   96.03%
    Req/Sec    47.90k     1.03k   48.63k   100.00%
  Latency Distribution
     50%  990.00us
     75%    1.06ms
     90%    1.11ms
     99%    1.27ms
  14374 requests in 300.10ms, 2.31MB read
Requests/sec:  47897.37
Transfer/sec:      7.70MB
"""


def test_what_wrk_says() -> None:
    load = understood(SAID, 0.14374)
    assert (load.requests, load.rate, load.p50) == (14374, 47897.37, 990)
    assert load.p99 == pytest.approx(1270)
    assert load.cpu == pytest.approx(10)
    assert understood(SAID, None).cpu is None


@pytest.mark.parametrize(
    "said",
    [
        "unable to connect to 127.0.0.1:1 Connection refused\n",
        SAID.replace("14374", "0"),
        SAID + "  Non-2xx or 3xx responses: 7\n",
        SAID + "  Socket errors: connect 0, read 3, write 0, timeout 0\n",
    ],
)
def test_a_load_with_errors_is_no_measure(said: str) -> None:
    with pytest.raises(MeasureError):
        understood(said, None)
