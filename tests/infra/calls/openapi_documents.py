"""A document of Swagger 2.0 and one of OpenAPI 3.1, for the tests of calls."""

from typing import Any

OLD: dict[str, Any] = {
    "swagger": "2.0",
    "basePath": "/v2",
    "parameters": {"Tenant": {"name": "X-Tenant", "in": "header", "type": "string"}},
    "paths": {
        "/pet/findByStatus": {
            "get": {
                "operationId": "findPetsByStatus",
                "parameters": [
                    {"name": "status", "in": "query", "required": True, "type": "array", "collectionFormat": "multi"},
                    {"name": "tags", "in": "query", "type": "array"},
                    {"name": "pipes", "in": "query", "type": "array", "collectionFormat": "pipes"},
                    {"$ref": "#/parameters/Tenant"},
                ],
            }
        },
        "/pet/{petId}": {
            "parameters": [{"name": "petId", "in": "path", "required": True, "type": "integer"}],
            "get": {"operationId": "getPetById"},
            "post": {
                "operationId": "updatePetWithForm",
                "consumes": ["application/x-www-form-urlencoded"],
                "parameters": [{"name": "name", "in": "formData", "type": "string"}],
            },
        },
        "/pet": {
            "post": {
                "operationId": "addPet",
                "consumes": ["application/xml", "application/json"],
                "parameters": [{"name": "pet", "in": "body", "required": True, "schema": {}}],
            }
        },
    },
}

NEW: dict[str, Any] = {
    "openapi": "3.1.0",
    "servers": [{"url": "/{stage}/api", "variables": {"stage": {"default": "v3"}}}],
    "components": {
        "parameters": {
            "Limit": {"name": "limit", "in": "query", "schema": {"type": "integer"}},
            "Indirect": {"$ref": "#/components/parameters/Limit"},
        },
        "requestBodies": {"Thing": {"required": True, "content": {"application/json": {}}}},
        "pathItems": {"Shared": {"get": {"operationId": "shared"}}},
    },
    "paths": {
        "/things/{ids}": {
            "get": {
                "operationId": "getThings",
                "parameters": [
                    {"name": "ids", "in": "path", "required": True},
                    {"$ref": "#/components/parameters/Indirect"},
                    {"name": "many", "in": "query"},
                    {"name": "csv", "in": "query", "explode": False},
                    {"name": "piped", "in": "query", "style": "pipeDelimited", "explode": False},
                    {"name": "deep", "in": "query", "style": "deepObject"},
                    {"name": "flat", "in": "query"},
                    {"name": "filter", "in": "query", "content": {"application/json": {}}},
                    {"name": "X-Ids", "in": "header"},
                    {"name": "Authorization", "in": "header"},
                    {"name": "session", "in": "cookie"},
                ],
            },
            "put": {
                "operationId": "putThing",
                "parameters": [{"name": "ids", "in": "path", "required": True}],
                "requestBody": {"$ref": "#/components/requestBodies/Thing"},
            },
        },
        "/things/{id}/copies": {
            "parameters": [{"name": "id", "in": "path", "required": True}],
            "post": {
                "operationId": "copyThing",
                "parameters": [
                    {"name": "id", "in": "query", "required": True},
                    {"name": "id", "in": "header"},
                ],
                "requestBody": {"content": {"application/json": {}}},
            },
        },
        "/form": {
            "servers": [{"url": "/elsewhere"}],
            "post": {"operationId": "sendForm", "requestBody": {"content": {"application/x-www-form-urlencoded": {}}}},
        },
        "/shared": {"$ref": "#/components/pathItems/Shared"},
    },
}
