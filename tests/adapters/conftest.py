import pytest

from redream.priors.miniature import save_miniature


@pytest.fixture(scope="session")
def sd_folders(tmp_path_factory):
    """Two folders of one random model, by what their UNet is said to predict."""
    root = tmp_path_factory.mktemp("sd")
    for prediction_type in ("epsilon", "v_prediction"):
        save_miniature(root / prediction_type, prediction_type)
    return {path.name: path for path in root.iterdir()}
