"""Hypothesis strategies for the messages of the API."""

import json

from hypothesis import strategies as st

from aiolosant import DeviceTag, NewExperienceGroup

ids = st.text("0123456789abcdefABCDEF", min_size=24, max_size=24)
texts = st.text(st.characters(codec="utf-8"), max_size=40)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
tag_keys = st.from_regex(r"[0-9a-zA-Z_-]{1,20}", fullmatch=True)
tag_values = names
queries = st.dictionaries(texts, texts, max_size=3).map(json.dumps)
device_tags = st.builds(DeviceTag, key=st.none() | tag_keys, value=st.none() | tag_values)
new_groups = st.builds(
    NewExperienceGroup,
    name=names,
    description=st.none() | texts,
    experience_user_ids=st.lists(ids, max_size=3),
    experience_endpoint_ids=st.lists(ids, max_size=3),
    device_ids=st.lists(ids, max_size=3),
    device_tags=st.lists(device_tags, max_size=3),
    group_tags=st.dictionaries(tag_keys, tag_values, max_size=3),
    device_query_json=st.none() | queries,
    parent_id=st.none() | ids,
)
