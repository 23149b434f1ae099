"""What the head of a pack is compressed against: the words that nearly every head holds.

It is part of the format `AMP1`, so it never changes; another one would come with another format. Toward the end stands
what is met most: it is named with the fewest bits.
"""

DICTIONARY = (
    b'{"api":"/","semver":"1.0.0","tree":"0123456789abcdef","parents":["0123456789abcdef"],"manifest":'
    b'{"category":"","summary":"","tags":[],"plans":[{"code":"free","price_minor":0,"currency":"EUR","interval":"month",'
    b'"quota":1000,"quota_interval":"month","overage":"block"}],"runtime":"node","runtime":"go","visibility":"public",'
    b'"visibility":"unlisted","README.md","package.json","go.mod","main.go","server.js","requirements.txt","main.py",'
    b'"apimarket.toml","pyproject.toml","command":["python","server.py"],"entry":"main:app","health":"/health",'
    b'"openapi":{"openapi":"3.1.0","info":{"title":"","version":"0.1.0"},"paths":{}},"openapi":null,'
    b'"gateway":{"auth":"key","cache_ttl_s":0,"cors":[],"rate_limit":{"requests":60,"window_s":60}},'
    b'"gateway":{"auth":"none","cache_ttl_s":0,"cors":[],"rate_limit":null},"name":"","plans":[],"run":{"command":null,'
    b'"cpus":1.0,"egress":true,"entry":null,"env":{},"health":null,"memory_mb":512,"replicas":1,"secrets":[],'
    b'"timeout_s":30.0},"runtime":"python","runtime_version":null,"summary":"","tags":[],"version":"0.1.0",'
    b'"visibility":"private"},"missing":[],"more":[],'
    b'{"op":"01980000-0000-7000-8000-000000000000","semver":"0.1.1","base_tree":null,"base_tree":"","put":[{"path":"'
    b'.py","sha256":"","size_bytes":,"mode":755},{"path":"","sha256":"","size_bytes":1,"mode":644}],"delete":[],'
    b'"tree":"","if_head_rev":1,"parents":[""],"signer":"","signature":"==","blobs":[{"sha256":"","size_bytes":1'
    b',"packed_bytes":1,"base_path":"","prefix_bytes":1,"suffix_bytes":1}]}'
)
