"use strict";

// Swagger UI fills every field of a form with a value that it makes up ("string", true, 0) and sends it. Fields are left
// empty instead: the service takes a blank field for one that is left out. Swagger UI asks for a field's value with
// `false` as the content type.
const emptyForms = () => ({
  afterLoad() {
    const sampleOf = this.fn.getSampleSchema;
    this.fn.getSampleSchema = (schema, contentType, ...more) => {
      const type = schema?.get?.("type");
      const isText = type !== "array" && type !== "object"; // these two are parsed as JSON
      return contentType === false && isText ? "" : sampleOf(schema, contentType, ...more);
    };
  },
});

// Addresses are relative, so that the page also works behind a path prefix.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null, // else the page would send the document to somebody else's server
  presets: [SwaggerUIBundle.presets.apis],
  plugins: [emptyForms],
});
