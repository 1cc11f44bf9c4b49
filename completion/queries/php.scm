(class_declaration name: (_) @name body: (_) @body) @definition.class
(interface_declaration name: (_) @name body: (_) @body) @definition.interface
(trait_declaration name: (_) @name body: (_) @body) @definition.trait
(enum_declaration name: (_) @name body: (_) @body) @definition.enum
(enum_case name: (_) @name) @definition.constant
(namespace_definition name: (_) @name body: (_) @body) @definition.module
(function_definition name: (_) @name body: (_) @body) @definition.function
(method_declaration name: (_) @name body: (_)? @body) @definition.function
(const_declaration (const_element . (name) @name)) @definition.constant
(property_declaration (property_element name: (variable_name (name) @name))) @definition.field
(property_promotion_parameter name: (variable_name (name) @name)) @definition.field
(function_call_expression function: (name) @_call
  arguments: (arguments . (argument (string (string_content) @name)))
  (#eq? @_call "define")) @definition.constant

(namespace_use_declaration
  (namespace_use_clause . [(qualified_name) (name)] @path alias: (_)? @alias)) @import
(namespace_use_declaration (namespace_name) @module body: (namespace_use_group
  (namespace_use_clause . (name) @imported alias: (_)? @alias))) @import
([
  (require_expression (string (_) @module))
  (require_once_expression (string (_) @module))
  (include_expression (string (_) @module))
  (include_once_expression (string (_) @module))] (#set! imported "*")) @import
