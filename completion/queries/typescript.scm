(abstract_class_declaration name: (_) @name body: (_) @body) @definition.class
(interface_declaration name: (_) @name body: (_) @body) @definition.interface
(enum_declaration name: (_) @name body: (_) @body) @definition.enum
(enum_body name: (_) @name @definition.constant)
(enum_body (enum_assignment name: (_) @name) @definition.constant)
(type_alias_declaration name: (_) @name) @definition.type
(internal_module name: (_) @name body: (_) @body) @definition.module
(module name: (_) @name body: (_) @body) @definition.module
(function_signature name: (_) @name) @definition.function
(method_signature name: (_) @name) @definition.function
(abstract_method_signature name: (_) @name) @definition.function
(interface_body (property_signature name: (_) @name) @definition.field)
(public_field_definition name: (_) @name) @definition.field
; A parameter with a modifier is a field too.
(required_parameter (accessibility_modifier) pattern: (identifier) @name) @definition.field

(import_statement (import_require_clause (identifier) @alias source: (string (_) @module))) @import
(ambient_declaration (_) @inner) @outer
