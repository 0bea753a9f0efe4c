"""A TAXII 2.1 server looked at by OASIS's own client (taxii2-client on PyPI): what this account finds, as one JSON object.

Usage: taxii.py DISCOVERY_URL TOKEN.
"""

import json
import sys

from taxii2client.v21 import Server, as_pages


def main():
    url, token = sys.argv[1:3]
    server = Server(url, user="vedette", password=token)
    out = {"title": server.title, "collections": {}}
    for root in server.api_roots:
        root.refresh()
        assert "application/taxii+json;version=2.1" in root.versions, root.versions
        for collection in root.collections:
            by_page = [o for page in as_pages(collection.get_objects, per_request=7) for o in page.get("objects", [])]
            manifest = [m for page in as_pages(collection.get_manifest, per_request=5) for m in page.get("objects", [])]
            assert sorted(o["id"] for o in by_page) == sorted(m["id"] for m in manifest), collection.title
            reports = [o for o in by_page if o["type"] == "report"]
            for report in reports:
                versions = collection.object_versions(report["id"])["versions"] if hasattr(collection, "object_versions") else []
                assert not versions or report["modified"] in versions, (report["id"], versions)
                again = collection.get_object(report["id"])["objects"]
                assert any(o == report for o in again), report["id"]
            later = collection.get_objects(added_after="2100-01-01T00:00:00Z")
            assert later.get("objects", []) == [], later
            only = collection.get_objects(type="indicator").get("objects", [])
            assert all(o["type"] == "indicator" for o in only), only
            out["collections"][collection.custom_properties.get("alias", collection.id) if collection.custom_properties else collection.id] = {
                "title": collection.title,
                "objects": len(by_page),
                "indicators": len([o for o in by_page if o["type"] == "indicator"]),
                "reports": sorted(o["name"] for o in reports),
                "can_write": collection.can_write,
            }
    print(json.dumps(out, ensure_ascii=False, sort_keys=True))


main()
