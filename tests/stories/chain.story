A correlation over a correlation: guessing, then success.

== rules
title: fail
id: aafea39f-b708-4bd8-a223-2a0d4629c44a
name: fail
status: test
logsource:
  category: story
detection:
  selection:
    kind: fail
  condition: selection
level: low
alerts: false
---
title: ok
id: b16e2828-beb7-4589-b08b-2c9a9614b013
name: ok
status: test
logsource:
  category: story
detection:
  selection:
    kind: ok
  condition: selection
level: low
alerts: false
---
title: guessing
id: 83c1d085-467a-4793-8377-1247e2aa0f7b
name: guessing
status: test
correlation:
  type: event_count
  rules:
    - fail
  group-by:
    - src_endpoint.ip
  timespan: 60s
  condition:
    gte: 3
level: medium
alerts: true
---
title: guessed
id: 21017e58-2cff-482e-b29c-4135221612c8
name: guessed
status: test
correlation:
  type: temporal_ordered
  rules:
    - guessing
    - ok
  group-by:
    - src_endpoint.ip
  timespan: 10m
level: medium
alerts: true
== events
1 kind=fail src=10.0.0.1
2 kind=fail src=10.0.0.1
3 kind=fail src=10.0.0.1
60 kind=ok src=10.0.0.1
100 kind=ok src=10.0.0.2
== alerts
guessing src_endpoint.ip=10.0.0.1 1..3 events=3
guessed src_endpoint.ip=10.0.0.1 3..60 events=4
