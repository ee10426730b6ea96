"""Whether the Hugging Face hub, or its mirror, can be reached."""

import threading
import urllib.error
import urllib.request

from huggingface_hub import constants


def hub_state(timeout_s: float = 2.0) -> str | None:
    """Asks the hub for nothing but an answer.

    Args:
        timeout_s: How long to wait, the look-up of its name included.

    Returns:
        None where it answers, else why not in a few words.
    """
    if constants.HF_HUB_OFFLINE:
        return "switched off by HF_HUB_OFFLINE"
    answers: list[str | None] = []

    def ask() -> None:
        request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
        try:
            urllib.request.urlopen(request, timeout=timeout_s).close()
            answers.append(None)
        except urllib.error.HTTPError:
            answers.append(None)  # it is there, whatever it says
        except (OSError, ValueError) as error:
            answers.append(f"offline: {getattr(error, 'reason', error)}")

    asking = threading.Thread(target=ask, daemon=True)  # a name server may take longer
    asking.start()
    asking.join(timeout_s)
    return answers[0] if answers else f"offline: no answer in {timeout_s:g} s"


def hub_address() -> str:
    """The hub's address, or that of the mirror that ``HF_ENDPOINT`` names."""
    return str(constants.ENDPOINT)


def hub_cache() -> str:
    """The folder in which what came from the hub is kept."""
    return str(constants.HF_HUB_CACHE)
