"""Statements about what tasks are made of, by the sections of dsl-reference.md and dsl.md, and the test that covers each of them."""

PARTS: dict[str, dict[str, str]] = {
    "Authentication": {
        "a policy must be one that is declared": "test_dsl_refused.py",
        "there must be one scheme": "test_dsl_refused.py",
        "a policy that is declared is used by its name": "statements_of_calls.py",
    },
    "Basic Authentication": {
        "a password must be there": "test_dsl_refused.py",
        "the name and the password are sent": "test_conformance.py::test_call_http_using_basic_authentication",
    },
    "Bearer Authentication": {
        "the token is sent": "test_examples.py::test_runs_to_its_end",
    },
    "Digest Authentication": {
        "name and password answer the challenge": "statements_of_calls.py",
    },
    "OAUTH2 Authentication": {
        "a grant must be there": "test_dsl_refused.py",
        "by default a form goes to /oauth2/token below the authority": "statements_of_calls.py",
        "a client may be authenticated by a header": "statements_of_calls.py",
        "a token may be asked for in JSON, with a user's name and password": "statements_of_calls.py",
        "the client is authenticated in the form by default, below the authority": "test_examples.py::test_runs_to_its_end",
    },
    "OpenIdConnect Authentication": {
        "the endpoint for tokens is discovered": "test_examples.py::test_runs_to_its_end",
    },
    "Catalog": {
        "a catalog must have an endpoint": "test_dsl_refused.py",
        "a catalog is asked with the authentication of its endpoint": "statements_of_documents.py",
        "a catalog may be asked with a policy that is declared": "statements_of_documents.py",
        "a catalog has a constant address": "test_supported.py::test_has_a_constant_address",
        "a function that is not there is an error of the task": "statements_of_documents.py",
        "what is no document is an error of configuration": "statements_of_documents.py",
        "what is no function is an error of configuration": "statements_of_documents.py",
        "nothing is fetched from an address that calls may not reach": "statements_of_documents.py",
        "what cannot be fetched is an error of the task that calls it": "test_dsl_elsewhere.py",
        "what cannot be fetched can be caught": "test_dsl_elsewhere.py",
        "what cannot be fetched is fetched again by a retry": "test_dsl_elsewhere.py",
    },
    "External Resource": {
        "is fetched with the authentication of its endpoint": "statements_of_documents.py",
    },
    "Extension": {
        "what is before and after a task is done around it, and knows which one it is": "test_dsl_parts.py",
        "neither changes what the task is given or what it yields": "test_dsl_parts.py",
        "only tasks of its kind are extended": "test_dsl_parts.py",
        "a composite is a task that does others": "test_dsl_parts.py",
        "a task is extended only if the condition holds for it": "test_dsl_parts.py",
        "a task is left out if what is before it exits, and yields what that has set": "test_dsl_parts.py",
        "an error of what is before a task is the task's": "test_dsl_parts.py",
        "the condition may ask what the task calls": "test_dsl_parts.py",
        "the kind must be one there is": "test_dsl_refused.py",
    },
    "Error": {
        "title and detail may be expressions": "test_dsl_errors.py",
        "instance is set to the task that raises the error, in a scope": "test_dsl_errors.py",
        "instance is set to the task that raises the error, in a loop": "test_dsl_errors.py",
        "instance is set to the task that raises the error, where another error was caught": "test_dsl_errors.py",
        "a type must be there": "test_dsl_refused.py",
        "a status must be there": "test_dsl_refused.py",
    },
    "Standard Error Types": {
        "a call that fails has the status that it was answered with": "test_dsl_errors.py",
        "a standard error has several addresses": "test_dsl_errors.py::test_are_as_the_reference_says",
    },
    "Event Consumption Strategy": {
        "one waits for an event that fits": "test_dsl_events.py",
        "all waits until there was an event for each filter": "test_dsl_events.py",
        "any goes on with the first event that fits one of the filters": "test_dsl_events.py",
        "any without filters takes any event": "test_dsl_events.py",
        "any goes on until a condition holds for what was taken": "test_dsl_events.py",
        "there must be one strategy": "test_dsl_refused.py",
    },
    "Event Properties": {
        "an emitted event has an id, and without a source of its own that of the workflow": "test_dsl_events.py",
        "what an emitted event holds may be expressions": "test_dsl_events.py",
        "an emitted event may have more attributes": "test_dsl_events.py",
        "a filter must ask for something": "test_dsl_refused.py",
    },
    "Event Filter": {
        "an expression is asked about the attribute that it stands for": "test_dsl_events.py",
        "a text may be a regular expression": "test_dsl_events.py",
        "an event has to fit in all that the filter names": "test_dsl_events.py",
    },
    "Correlation": {
        "without an expectation the first value is what the others must have": "test_dsl_events.py",
        "a value has to be as it is expected": "test_dsl_events.py",
        "what is expected may be an expression": "test_dsl_events.py",
        "from must be there": "test_dsl_refused.py",
    },
    "Retry": {
        "what failed is tried again from its first task": "test_dsl_retries.py",
        "a policy may be one that is declared under a name": "test_dsl_retries.py",
        "nothing is tried again if its condition does not hold": "test_dsl_retries.py",
        "nothing is tried again if it is an exception": "test_dsl_retries.py",
        "an error that the filter leaves alone is not retried": "test_dsl_retries.py",
    },
    "Retry Limit": {
        "what fails is retried as often as the limit says, and then the error stands": "test_dsl_retries.py",
        "nothing is tried again once the time for all of it is over": "test_dsl_retries.py",
    },
    "Backoff": {
        "there must be one backoff at most": "test_dsl_refused.py",
        "without a backoff the delay stays the same": "test_dsl_retries.py::test_stays_the_same_without_a_backoff",
        "a constant backoff leaves the delay as it is": "test_dsl_retries.py::test_stays_the_same_if_its_backoff_is_constant",
        "a linear backoff adds the delay each time": "test_dsl_retries.py::test_grows_by_itself_if_its_backoff_is_linear",
        "an exponential backoff doubles the delay each time": "test_dsl_retries.py::test_doubles_if_its_backoff_is_exponential",
    },
    "Jitter": {
        "a jitter must have both bounds": "test_dsl_refused.py",
        "a delay varies between the bounds": "test_dsl_retries.py::test_varies_within_its_jitter",
    },
    "Input": {
        "the first task is given the workflow's formed input": "test_dsl_data_flow.py",
        "a workflow's input is checked before it is formed": "test_dsl_data_flow.py",
        "a workflow's input that does not fit its schema faults the run": "test_dsl_data_flow.py",
        "a task's input is checked before it is formed": "test_dsl_data_flow.py",
        "a task's input that does not fit its schema faults it": "test_dsl_data_flow.py",
        "what forms an input may be an object with expressions in it": "test_dsl_data_flow.py",
        "an input that is not formed stays as it is": "test_dsl_data_flow.py",
    },
    "Output": {
        "a task's formed output is what the next one is given": "test_dsl_data_flow.py",
        "what forms an output may be an object with expressions in it": "test_dsl_data_flow.py",
        "a task's output is checked after it is formed": "test_dsl_data_flow.py",
        "a task's output that does not fit its schema faults it": "test_dsl_data_flow.py",
        "a workflow's output is formed from that of its last task": "test_dsl_data_flow.py",
        "a workflow's output is checked after it is formed": "test_dsl_data_flow.py",
        "an output that is not formed stays as it is": "test_dsl_data_flow.py",
    },
    "Export": {
        "what is exported replaces the context": "test_dsl_data_flow.py",
        "what is exported is made of the formed output": "test_dsl_data_flow.py",
        "what is exported may add to the context": "test_dsl_data_flow.py",
        "the context stays where nothing is exported": "test_dsl_data_flow.py",
        "a context that does not fit its schema faults the task": "test_dsl_data_flow.py",
    },
    "Schema": {
        "a task's input is checked by a schema that lies elsewhere": "test_dsl_elsewhere.py",
        "a task's output is checked by a schema that lies elsewhere": "test_dsl_elsewhere.py",
        "what is exported is checked by a schema that lies elsewhere": "test_dsl_elsewhere.py",
        "the workflow's input and output are checked by schemas that lie elsewhere": "test_dsl_elsewhere.py",
        "the input is checked before it is formed, though its schema has to be fetched": "test_dsl_elsewhere.py",
        "what is no schema is an error of configuration": "test_dsl_elsewhere.py",
        "a schema is fetched once, also for a task that another one has led to": "test_dsl_elsewhere.py",
        "data is checked by a schema that lies elsewhere": "statements_of_documents.py",
        "data that is as a schema elsewhere says is taken": "statements_of_documents.py",
        "the workflow's own input is checked by a schema that lies elsewhere": "statements_of_documents.py",
    },
    "Timeout": {
        "after must be there": "test_dsl_refused.py",
        "a task that takes too long faults with a timeout": "test_dsl_retries.py",
        "a task that takes no longer than it may goes on": "test_dsl_retries.py",
        "a workflow that takes too long faults with a timeout": "test_dsl_retries.py",
        "a timeout may be one that is declared under a name": "test_dsl_retries.py",
        "a workflow's timeout may be one that is declared under a name": "test_dsl_retries.py",
        "a timeout interrupts what the task is made of": "test_dsl_retries.py",
        "a timeout can be caught": "test_dsl_retries.py",
    },
    "Duration": {
        "a duration may be written in its parts": "test_dsl_parts.py::test_may_be_written_in_its_parts",
        "a duration may be written by ISO 8601": "test_dsl_parts.py::test_may_be_written_by_the_norm",
        "a duration may be an expression": "test_dsl_parts.py::test_may_be_an_expression_that_yields_one",
    },
    "Endpoint": {
        "an address may be an expression": "test_dsl_parts.py::test_may_be_an_expression",
    },
    "HTTP Response": {
        "content that cannot be read is in base 64": "statements_of_calls.py",
        "a response has its request, status, headers and content": "test_conformance.py::test_call_http_with_response_output",
    },
    "HTTP Request": {
        "a request has its method, address and headers": "test_conformance.py::test_call_http_with_response_output",
    },
    "URI Template": {
        "variables are replaced": "test_dsl_parts.py::test_has_values_in_the_place_of_names",
        "a variable without a value is replaced by nothing": "test_dsl_parts.py::test_has_nothing_in_the_place_of_a_name_without_a_value",
        "names are taken verbatim": "test_dsl_parts.py::test_takes_a_name_with_a_dot_in_it_as_it_is",
        "a variable that is no scalar is an expression error with status 400": "test_dsl_parts.py::test_cannot_have_an_object_in_it",
    },
    "Container Lifetime": {
        "eventually must say after what time": "test_dsl_refused.py",
    },
    "Process Result": {
        "a result has code, stdout and stderr": "statements_of_calls.py",
    },
    "AsyncAPI Server": {
        "the server is the one that is named": "test_examples_over_nats.py::test_publishes_the_pet",
    },
    "AsyncAPI Outbound Message": {
        "the payload is what is sent": "test_examples_over_nats.py::test_publishes_the_pet",
    },
    "AsyncAPI Inbound Message": {
        "a message has its payload": "test_examples_over_nats.py::test_takes_messages_until_there_are_five",
    },
    "AsyncAPI Subscription": {
        "only messages that the filter lets through are taken": "test_examples_over_nats.py::test_takes_messages_until_there_are_five",
        "the output is a list of the messages": "test_examples_over_nats.py::test_takes_messages_until_there_are_five",
    },
    "AsyncAPI Subscription Lifetime": {
        "there must be one end": "test_dsl_refused.py",
        "until ends the subscription": "test_examples_over_nats.py::test_takes_messages_until_there_are_five",
        "while ends the subscription": "test_examples_over_nats.py::test_takes_messages_while_there_are_less_than_five",
    },
    "Subscription Iterator": {
        "each event is formed by the iterator's output": "test_dsl_events.py",
        "an event is called item and its place index, unless they are given other names": "test_dsl_events.py",
        "an event and its place have the names that they are given": "test_dsl_events.py",
        "what is done with an event is done before the next one is looked at": "test_dsl_events.py",
        "what is exported for an event is the context for the next one": "test_dsl_events.py",
    },
    "MCP Transport": {
        "there must be one transport": "test_dsl_refused.py",
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
    "Input of event-driven scheduled workflows": {
        "the input is a list of the events": "test_schedules.py::test_calls_the_nurse_when_the_event_comes",
    },
    "Task Flow": {
        "a run begins with the first task that is defined": "test_conformance.py::test_implicit_sequence_flow",
    },
    "Data Flow": {
        "the context is at first the workflow's formed input": "test_dsl_data_flow.py",
    },
    "Runtime Expressions": {
        "an expression that cannot be evaluated faults the task": "test_dsl_data_flow.py",
        "an expression that comes with the input is only text": "test_dsl_data_flow.py",
        "expressions are found however deep they stand": "test_dsl_data_flow.py",
    },
    "Runtime expression arguments": {
        "$input is the task's formed input": "test_dsl_data_flow.py",
        "$output is the task's formed output": "test_dsl_data_flow.py",
        "a workflow's output is formed with $context at hand": "test_dsl_data_flow.py",
    },
    "Runtime Descriptor": {
        "$runtime has a name, a version and more about itself": "test_dsl_data_flow.py",
    },
    "Workflow Descriptor": {
        "$workflow.input is what the workflow was given before it was formed": "test_dsl_data_flow.py",
        "$workflow says which run it is and how the workflow is defined": "test_dsl_data_flow.py",
        "each run has an id of its own": "test_dsl_data_flow.py::test_is_told_apart_from_others_by_its_id",
    },
    "Task Descriptor": {
        "$task says what a task is called and where it stands": "test_dsl_data_flow.py",
        "$task.definition is the task as it was written": "test_dsl_data_flow.py",
        "$task.input is what the task was given before it was formed": "test_dsl_data_flow.py",
        "$task.output is what the task yielded before it was formed": "test_dsl_data_flow.py",
    },
    "Authorization Descriptor": {
        "a call's output may not hold its credentials: they would be in an event": "statements_of_calls.py",
    },
    "DateTime Descriptor": {
        "a time can be had as text, in seconds and in milliseconds": "test_dsl_data_flow.py",
    },
    "Retries": {
        "what failed for a while is tried again": "test_examples_by_hand.py::test_tries_again_while_the_petstore_is_not_there",
    },
    "Timeouts": {
        "what takes too long is interrupted": "test_dsl_retries.py::test_are_as_the_reference_says",
    },
    "File Structure": {
        "the raw document is fetched from a catalog on GitHub": "test_dsl_elsewhere.py",
        "the raw document of a function is fetched from a catalog on GitHub": "statements_of_documents.py",
        "a page of GitLab stands for its raw document": "test_elsewhere.py::test_stands_for_the_document_itself",
    },
    "Default Catalog": {
        "a catalog called default takes the place of the runtime's own": "statements_of_documents.py",
    },
    "Using Cataloged Functions": {
        "name, version and catalog say where a function lies": "test_dsl_elsewhere.py",
        "a function of a catalog is called by its name, its version and the catalog": "statements_of_documents.py",
    },
    "Using a Custom Function": {
        "a function is called by its address, with what the call gives it": "test_dsl_elsewhere.py",
        "an address on GitHub leads to the function's file in that version": "test_dsl_elsewhere.py",
        "the example that calls one runs to its end": "test_examples.py::test_runs_to_its_end",
    },
    "Supported Protocols": {
        "a problem during a call is an error of communication": "statements_of_calls.py",
    },
    "Creating a Custom Function": {
        "a function documents its input and its output": "test_dsl_parts.py::test_are_as_the_reference_says",
        "a function's input is checked by its own schema": "test_dsl_elsewhere.py",
        "what is no task is an error of configuration": "test_dsl_elsewhere.py",
        "what others wrote knows no names of the workflow": "test_dsl_elsewhere.py",
        "what others wrote knows no secrets of the workflow": "test_dsl_elsewhere.py",
    },
}
