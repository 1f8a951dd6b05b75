from ssl_zoo.tables.captions import caption
from tests.tables.rows import row


def test_the_caption_says_when_splits_were_shared_and_who_was_warned():
    one_each = caption([row(seed=0), row(seed=1)], [])
    shared = caption([row(seed=0), row(seed=1, split_hash="h0", split_seed=0)], [])
    assert "each with a label split of its own" in one_each[0] and "over 1 label splits" in shared[0]
    assert "10 test images" in one_each[0] and "seeds 0, 1" in one_each[0] and len(one_each) == 1
    assert "supervised with seed 3" in caption([row(seed=3, warnings=["x"])], [])[-1]


def test_the_caption_says_which_images_were_scored():
    assert "on 10 labelled images held out for it, mean" in caption([row(scored="held-out")], [])[0]
    assert "on 10 labelled training images, mean" in caption([row(scored="training")], [])[0]
    assert "on 10 test images, mean" in caption([row(scored="test")], [])[0]
