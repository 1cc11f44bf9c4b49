(class_specifier name: (_) @name body: (_) @body) @definition.class
(namespace_definition name: (_) @name body: (_) @body) @definition.module
(alias_declaration name: (_) @name) @definition.type
(concept_definition name: (_) @name) @definition.type

(function_definition declarator: [
  (function_declarator declarator: [(field_identifier) (destructor_name) (operator_name)] @name)
  (_ (function_declarator declarator: [(field_identifier) (destructor_name) (operator_name)] @name))]
  body: (_)? @body) @definition.function
; int a::B::f() { }
(function_definition declarator: [
  (function_declarator declarator: (qualified_identifier scope: (_) @owner name: [
    (identifier) @name (destructor_name) @name (operator_name) @name
    (qualified_identifier scope: (_) @owner name: [
      (identifier) @name (destructor_name) @name (operator_name) @name])]))
  (_ (function_declarator declarator: (qualified_identifier scope: (_) @owner name: [
    (identifier) @name (destructor_name) @name (operator_name) @name
    (qualified_identifier scope: (_) @owner name: [
      (identifier) @name (destructor_name) @name (operator_name) @name])])))]
  body: (_) @body) @definition.function
(field_declaration declarator: [
  (function_declarator declarator: [(field_identifier) (operator_name)] @name)
  (_ (function_declarator declarator: [(field_identifier) (operator_name)] @name))])
  @definition.function
(declaration declarator: (function_declarator declarator: (destructor_name) @name))
  @definition.function
(field_declaration declarator: (reference_declarator (field_identifier) @name)) @definition.field
(declaration_list (declaration declarator: [
  (identifier) @name (init_declarator declarator: (identifier) @name)]) @definition.constant)

(using_declaration "namespace" (_) @module (#set! imported "*")) @import
((using_declaration (qualified_identifier) @path) @import (#not-match? @import "^using\\s+namespace"))

(template_declaration parameters: (_) . (_) @inner) @outer
