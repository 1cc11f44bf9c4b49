; What JavaScript and TypeScript have in common.
(class_declaration name: (_) @name body: (_) @body) @definition.class
(function_declaration name: (_) @name body: (_) @body) @definition.function
(generator_function_declaration name: (_) @name body: (_) @body) @definition.function
(method_definition name: (_) @name body: (_) @body) @definition.function

(lexical_declaration (variable_declarator
  name: (identifier) @name
  value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)])) @definition.function
(assignment_expression left: (member_expression property: (_) @name)
  right: [(arrow_function body: (_) @body) (function_expression body: (_) @body)]) @definition.function
(lexical_declaration (variable_declarator
  name: (identifier) @name value: (class body: (_) @body))) @definition.class
(program (lexical_declaration (variable_declarator name: (identifier) @name)) @definition.constant)
(program (variable_declaration (variable_declarator name: (identifier) @name)) @definition.constant)
(export_statement (lexical_declaration
  (variable_declarator name: (identifier) @name)) @definition.constant)

(import_statement (import_clause (identifier) @alias) source: (string (_) @module)
  (#set! imported "default")) @import
(import_statement (import_clause (named_imports (import_specifier name: (_) @imported !alias)))
  source: (string (_) @module)) @import
(import_statement (import_clause
  (named_imports (import_specifier name: (_) @imported alias: (_) @alias)))
  source: (string (_) @module)) @import
(import_statement (import_clause (namespace_import (identifier) @alias))
  source: (string (_) @module)) @import
(import_statement . source: (string (_) @module)) @import
(export_statement (export_clause (export_specifier name: (_) @imported !alias))
  source: (string (_) @module)) @import
(export_statement (export_clause (export_specifier name: (_) @imported alias: (_) @alias))
  source: (string (_) @module)) @import
(export_statement "*" @imported source: (string (_) @module)) @import

(variable_declarator name: (identifier) @alias value: (call_expression
  function: (identifier) @_call arguments: (arguments . (string (_) @module)))
  (#eq? @_call "require")) @import
(variable_declarator name: (object_pattern (shorthand_property_identifier_pattern) @imported)
  value: (call_expression
    function: (identifier) @_call arguments: (arguments . (string (_) @module)))
  (#eq? @_call "require")) @import
(variable_declarator name: (object_pattern
  (pair_pattern key: (property_identifier) @imported value: (identifier) @alias))
  value: (call_expression
    function: (identifier) @_call arguments: (arguments . (string (_) @module)))
  (#eq? @_call "require")) @import

(export_statement declaration: (_) @inner) @outer
