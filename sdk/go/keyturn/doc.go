// Model access keys as code for DigitalOcean serverless inference.
package keyturn
