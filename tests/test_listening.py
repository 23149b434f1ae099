"""Where the server listens, and what is said when it cannot."""

import pytest

from local_server.domain.server_errors import AddressRefused, PortTaken
from local_server.listening import listen


def test_a_port_that_is_taken_names_another() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(PortTaken, match=str(port)) as refused:
            listen("127.0.0.1", port)
    assert refused.value.hint == f"Try: apimarket serve --port {port + 1}"


@pytest.mark.parametrize("host", ["nowhere.invalid", "192.0.2.1"])
def test_what_is_no_address_of_this_machine_is_named(host: str) -> None:
    with pytest.raises(AddressRefused) as refused:
        listen(host, 18080)
    assert refused.value.detail.startswith(f"The server cannot listen on {host}, port 18080: ")
    assert "while" not in refused.value.detail
    assert "0.0.0.0" in refused.value.hint
