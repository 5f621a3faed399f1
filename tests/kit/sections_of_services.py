"""Statements about who calls and what is called, by the sections of dsl-reference.md, and the test that covers each of them."""

SERVICES: dict[str, dict[str, str]] = {
    "Authentication": {
        "a policy must be one that is declared": "test_dsl_refused_calls.py",
        "there must be one scheme": "test_dsl_refused_calls.py",
        "a policy that is declared is used by its name": "statements_of_calls.py",
    },
    "Basic Authentication": {
        "a password must be there": "test_dsl_refused_calls.py",
        "the name and the password are sent": "test_conformance.py::test_call_http_using_basic_authentication",
    },
    "Bearer Authentication": {
        "the token is sent": "test_examples.py::test_runs_to_its_end",
    },
    "Digest Authentication": {
        "name and password answer the challenge": "statements_of_calls.py",
    },
    "OAUTH2 Authentication": {
        "a grant must be there": "test_dsl_refused_calls.py",
        "by default a form goes to /oauth2/token below the authority": "statements_of_calls.py",
        "a client may be authenticated by a header": "statements_of_calls.py",
        "a token may be asked for in JSON, with a user's name and password": "statements_of_calls.py",
        "the client is authenticated in the form by default, below the authority": "test_examples.py::test_runs_to_its_end",
        "/oauth2/token, /oauth2/revoke and /oauth2/introspect are the default paths": "test_policies.py::test_has_the_default_paths",
        "what the grant and the client need must be there": "test_policies.py::test_has_what_its_grant_and_its_client_need",
        "a token may be asked for with one that refreshes it": "statements_of_access.py",
        "a client may be authenticated by a JWT of its own": "statements_of_access.py",
        "a client may be authenticated by a JWT that its secret signs": "statements_of_access.py",
        "a token of an issuer that is listed is taken": "statements_of_access.py",
        "the endpoint for tokens may be somewhere else below the authority": "statements_of_access.py",
        "the authority is a URI template": "statements_of_access.py",
        "a code that a person would have to get is refused": "statements_of_access.py",
        "scopes and audiences are asked for": "statements_of_access.py",
        "a client without authentication only says who it is": "statements_of_access.py",
        "a token of an issuer that is not listed is refused": "statements_of_access.py",
    },
    "OpenIdConnect Authentication": {
        "the endpoint for tokens is discovered": "test_examples.py::test_runs_to_its_end",
        "a code that a person would have to get is refused": "statements_of_access.py",
        "a token may be asked for with a user's name and password, in JSON": "statements_of_access.py",
        "tokens may be exchanged": "statements_of_access.py",
        "a client may be authenticated by a header": "statements_of_access.py",
        "a token may be asked for with one that refreshes it": "statements_of_access.py",
        "a client may be authenticated by a JWT of its own": "statements_of_access.py",
        "a client may be authenticated by a JWT that its secret signs": "statements_of_access.py",
        "scopes and audiences are asked for, by default in a form with the client's secret": "statements_of_access.py",
    },
    "AsyncAPI Server": {
        "the server is the one that is named": "test_examples_over_nats.py::test_publishes_the_pet",
    },
    "AsyncAPI Outbound Message": {
        "the payload is what is sent": "test_examples_over_nats.py::test_publishes_the_pet",
        "the headers go with the handshake of a WebSocket": "test_asyncapi_over_websocket.py::test_is_sent_with_its_headers",
    },
    "AsyncAPI Inbound Message": {
        "a message has its payload": "test_examples_over_nats.py::test_takes_messages_until_there_are_five",
        "a message has its correlation id where its document says": "test_examples_over_websocket.py::test_takes_five_messages",
        "a message has its headers and its correlation id": "test_asyncapi_over_nats.py::test_has_its_headers_and_its_correlation_id",
    },
    "AsyncAPI Subscription": {
        "only messages that the filter lets through are taken": "test_examples_over_nats.py::test_takes_messages_until_there_are_five",
        "the output is a list of the messages": "test_examples_over_nats.py::test_takes_messages_until_there_are_five",
        "what is done with a message is done before the next one": "test_run_subscribing.py::test_is_done_with_one_before_the_next",
        "what is done with messages may go on for ever": "test_examples_over_nats.py::test_passes_on_each_message_for_ever",
    },
    "AsyncAPI Subscription Lifetime": {
        "there must be one end": "test_dsl_refused_calls.py",
        "until ends the subscription": "test_examples_over_nats.py::test_takes_messages_until_there_are_five",
        "while ends the subscription": "test_examples_over_nats.py::test_takes_messages_while_there_are_less_than_five",
        "amount ends the subscription": "test_asyncapi_over_nats.py::test_ends_with_its_amount_of_messages_that_its_filter_lets_through",
        "for ends the subscription": "test_asyncapi_over_nats.py::test_ends_with_its_time",
        "amount ends a subscription over WebSocket": "test_examples_over_websocket.py::test_takes_five_messages",
        "for ends a subscription over WebSocket": "test_asyncapi_over_websocket.py::test_ends_with_its_time",
        "while and until end a subscription over WebSocket": "test_asyncapi_over_websocket.py::test_ends_with_its_condition",
    },
    "MCP Transport": {
        "there must be one transport": "test_dsl_refused_calls.py",
        "options are refused: neither transport has any": "statements_of_agents.py",
    },
    "MCP STDIO Transport": {
        "the server is a process of its own": "test_examples.py::test_runs_to_its_end",
    },
    "MCP Client": {
        "the client has the name and the version that it is given": "statements_of_calls.py",
    },
    "Secret": {
        "a secret that is not there is an error of authorization": "statements_of_calls.py",
        "a secret of the name that is used is at hand": "test_examples.py::test_runs_to_its_end",
    },
    "Workflow Definition Reference": {
        "has name, namespace and version": "test_lifecycle.py::test_is_started_with_its_definition",
        "a name must be there": "test_dsl_refused.py",
        "a namespace must be there": "test_dsl_refused.py",
        "a version must be there, and be one": "test_dsl_refused.py",
    },
    "MCP HTTP Transport": {
        "the endpoint may be a template": "statements_of_agents.py",
        "headers go with every request": "statements_of_agents.py",
        "the endpoint may be an expression": "statements_of_agents.py",
    },
    "Default Catalog": {
        "name:version@default is found in what the runtime knows": "statements_of_agents.py",
        "what the runtime does not know is refused": "statements_of_agents.py",
        "a catalog called default takes the place of the runtime's own": "statements_of_documents.py",
    },
    "External Resource": {
        "is fetched with the authentication of its endpoint": "statements_of_documents.py",
        "a document is fetched with the authentication of its endpoint": "statements_of_access.py",
        "a script is fetched with the authentication of its endpoint": "statements_of_access.py",
        "a document that needs another authentication is not had": "statements_of_access.py",
    },
    "OAUTH2 Token": {
        "subject and actor are sent with their types": "statements_of_access.py",
    },
}
