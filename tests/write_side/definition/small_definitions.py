"""Definitions of our own that between them have every part of the language: what tests read, and what they change to see it refused."""

from infra.adapters.document_text import parse_document

_HEAD = "document: {dsl: 1.0.3, namespace: shop, name: %s, version: 1.0.0}\n"

LEAST = "do: []\n"

WHOLE = """
input:
  schema: {document: {type: object}}
  from: .order
use:
  authentications:
    staff: {basic: {username: ann, password: s3cret}}
    hub: {oidc: {authority: "https://id.example/{realm}", grant: client_credentials, client: {id: shop, authentication: none}}}
  errors:
    soldOut: {type: "https://shop.example/sold-out", status: 409.0, instance: /do/0, title: Sold out, detail: "${ .why }"}
  extensions:
    - log: {extend: all, when: .verbose, before: [{say: {set: {said: true}}}], after: []}
  functions:
    price: {call: http, with: {method: get, endpoint: "https://shop.example/{id}"}}
  retries:
    often: {when: .again, exceptWhen: .never, delay: {seconds: 1}, backoff: {exponential: {}}, jitter: {from: PT0.1S, to: PT1S},
            limit: {attempt: {count: 3, duration: PT5S}, duration: "${ .patience }"}}
  secrets: [key]
  timeouts:
    short: {after: PT1M}
  catalogs:
    ours: {endpoint: {uri: "https://catalog.example", authentication: {use: staff}}}
do:
  - reserve: {set: {reserved: 1}, if: .stock > 0, then: end, timeout: short, metadata: {owner: ann}}
timeout: {after: {days: 1, hours: 2, minutes: 3, seconds: 4, milliseconds: 5}}
output:
  schema: {format: json, resource: {name: receipt, endpoint: "${ .schema }"}}
  as: {total: .total}
schedule:
  every: PT1H
  cron: 0 0 * * *
  after: P1D
  on: {any: [{with: {type: order.placed}}], until: {one: {with: {type: shop.closed}}}}
  read: envelope
evaluate: {language: jq, mode: strict}
colour: green
"""

CALLS = """
do:
  - get:
      call: http
      with:
        method: get
        endpoint: {uri: "${ .uri }", authentication: {bearer: {token: "${ $secrets.key }"}}}
        headers: {Accept: text/plain}
        query: "${ .query }"
        body: null
        output: response
        redirect: true
  - describe:
      call: openapi
      with: {document: {endpoint: "https://shop.example/api.json"}, operationId: list, parameters: {limit: 5}, output: raw, redirect: false,
             authentication: {digest: {use: key}}}
  - greet:
      call: grpc
      with: {proto: {endpoint: "file://greet.proto"}, service: {name: Greeter, host: localhost, port: 5005, authentication: {use: staff}},
             method: Greet, arguments: {name: Ann}}
  - publish:
      call: asyncapi
      with: {document: {endpoint: "https://shop.example/async.json"}, operation: tell, server: {name: main, variables: {region: eu}},
             protocol: nats, message: {payload: {a: 1}, headers: {b: 2}},
             authentication: {oauth2: {authority: "https://id.example", grant: password, username: ann, password: s3cret, scopes: [read],
                              audiences: [shop], issuers: [id], request: {encoding: application/json},
                              subject: {token: t, type: jwt}, actor: {token: u, type: jwt}, endpoints: {token: /t}}}}
  - follow:
      call: asyncapi
      with:
        document: {endpoint: "https://shop.example/async.json"}
        channel: orders
        subscription:
          filter: "${ .total > 5 }"
          consume: {amount: 3, for: PT1H}
          foreach: {item: order, at: place, do: [{keep: {set: "${ $order }"}}], output: {as: .kept}, export: {as: .kept}}
  - ask:
      call: a2a
      with: {agentCard: {endpoint: "https://agent.example/card"}, server: "https://agent.example",
             method: message/send, parameters: {message: {}}}
  - search:
      call: mcp
      with:
        protocolVersion: "2025-06-18"
        method: tools/call
        parameters: {name: search}
        timeout: PT5S
        transport: {stdio: {command: uvx, arguments: [server], environment: {A: b}}, options: {c: d}}
        client: {name: shop, version: 1.0.0}
        more: true
  - tools: {call: mcp, with: {method: tools/list, transport: {http: {endpoint: "https://mcp.example", headers: {A: b}}}}}
  - own: {call: price, with: {id: 7}}
"""

FLOW = """
do:
  - all:
      do: [{inner: {wait: {seconds: 1}}}]
      input: {schema: {document: true}, from: {a: .a}}
      output: {as: .b}
      export: {schema: {document: {}}, as: "${ . }"}
      timeout: {after: PT5S}
  - each: {for: {each: pet, in: [{name: rex}], at: place}, while: "$place < 3", do: [{pat: {set: {pet: "${ $pet }"}}}]}
  - both: {fork: {branches: [{left: {wait: PT1S}}, {right: {wait: "${ .pause }"}}], compete: true}}
  - choose: {switch: [{dog: {when: .kind == "dog", then: attempt}}, {other: {then: exit}}]}
  - attempt:
      try: [{fail: {raise: {error: soldOut}}}, {oops: {raise: {error: {type: "${ .type }", status: 500}}}}]
      catch: {errors: {with: {type: a, status: 409, instance: b, title: c, detail: d}}, as: problem, when: .a, exceptWhen: .b,
              retry: often, do: [{sorry: {set: {sorry: true}}}], then: continue}
  - again: {try: [], catch: {retry: {delay: PT1S, backoff: {linear: {}}}}}
  - tell: {emit: {event: {with: {id: a, source: "https://shop.example", type: order.sold, time: "2026-01-02T03:04:05Z", subject: s,
           datacontenttype: application/json, dataschema: "https://shop.example/order", data: {a: 1}, region: eu}}}}
  - hear:
      listen: {to: {all: [{with: {type: a, data: "${ .x }"}, correlate: {order: {from: .id, expect: "7"}}}]}, read: raw}
      foreach: {do: [{note: {set: {noted: true}}}]}
  - hearOne: {listen: {to: {one: {with: {source: "${ .s }", time: "${ .t }"}}}}}
  - hearAny: {listen: {to: {any: [], until: .enough}}}
"""

RUNS = """
do:
  - box:
      run:
        container: {image: alpine, name: box, command: ls, ports: {"80": 8080}, volumes: {a: b}, environment: {c: d}, stdin: e,
                    arguments: [f], lifetime: {cleanup: eventually, after: PT1H}, pullPolicy: always}
        await: false
        return: all
  - inline: {run: {script: {language: python, code: print(), stdin: a, arguments: [b], environment: {c: d}}, return: stderr}}
  - elsewhere: {run: {script: {language: js, source: {endpoint: "https://shop.example/a.js"}}, return: code}}
  - line: {run: {shell: {command: ls, stdin: a, arguments: [b], environment: {c: d}}, return: none}}
  - child: {run: {workflow: {namespace: shop, name: child, version: 1.0.0, input: {a: 1}}, return: stdout}}
"""

TEXTS = {
    name: _HEAD % name + body
    for name, body in {"least": LEAST, "whole": WHOLE, "calls": CALLS, "flow": FLOW, "runs": RUNS}.items()
}


def small_definition(name: str) -> dict[str, object]:
    """One of them, parsed."""
    document = parse_document(TEXTS[name].encode(), "application/yaml")
    assert isinstance(document, dict)
    return document
